"""CPython's multiprocessing tests under the start method 'spawn' (not every distribution ships this)."""

import test._test_multiprocessing as _suite

_suite.install_tests_in_module_dict(globals(), "spawn")
