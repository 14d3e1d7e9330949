"""The application in an AWS account: one CloudFormation stack, which owns everything, the application too.

stack_template   deploy/stack.yaml as data             stack         CloudFormation
retained         what outlives the stack               application   Managed Service for Apache Flink
deployed         the version that runs there, for `check --against`
rollout          what deploy, update, rollback and destroy do, as steps that are shown before they are taken
commands         the command line
"""
