"""The masking key, where the properties name a secret instead: the service shows an application's properties to
everybody who may describe it, so there only the secret's name stands in them.
"""

from __future__ import annotations

import dataclasses

from flink_app.aws_clients import client
from flink_app.errors import FraudWindowsError
from flink_app.properties import MIN_SECRET, Masking, Properties, Secret


def with_masking_key(properties: Properties) -> Properties:
    """The properties with the key itself; read from AWS Secrets Manager if `Masking.secret` names one.

    The key is read when the job is submitted: a new value counts from the next start.

    Raises:
        FraudWindowsError: no such secret, no access to it, or a value that is no key.
    """
    name = properties.masking.secret
    return dataclasses.replace(properties, masking=Masking(_read(properties, name))) if name else properties


def with_stand_in_key(properties: Properties) -> Properties:
    """The properties with a key that only has the right length, for who looks at the job without running it."""
    if not properties.masking.secret:
        return properties
    return dataclasses.replace(
        properties, masking=dataclasses.replace(properties.masking, key=Secret("*" * MIN_SECRET))
    )


def _read(properties: Properties, name: str) -> Secret:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 a key in the properties needs no AWS

    secrets = client("secretsmanager", properties.aws.region, properties.aws.endpoint)
    try:
        value = secrets.get_secret_value(SecretId=name).get("SecretString", "")
    except (BotoCoreError, ClientError) as error:
        raise FraudWindowsError(f"Masking.secret: '{name}': {error} · check its name and the role's policy") from None
    if len(value) < MIN_SECRET:
        got = f"{len(value)} characters"
        raise FraudWindowsError(f"Masking.secret: '{name}': got {got} · wanted at least {MIN_SECRET}")
    return Secret(value)
