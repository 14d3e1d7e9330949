"""All seeded bugs."""

from tests.mutants import of_numbers, of_state, of_the_gate, of_time

MUTANTS = (*of_the_gate.MUTANTS, *of_time.MUTANTS, *of_state.MUTANTS, *of_numbers.MUTANTS)
