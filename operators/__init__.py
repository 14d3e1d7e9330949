"""The operators of the job: one concept a file, pure logic on Arrow and NumPy; only the `*_shell` modules import pyflink."""
