"""The operators of the job: one concept a file, pure logic on Arrow and NumPy; only `*_shell` files import pyflink."""
