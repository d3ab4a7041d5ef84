"""Test set-up: one BLAS thread, before numpy is imported.

The matrices of the tests are small, several processes run at once (ngspice, the command line), and
BLAS threads that wait for one another on a busy machine make every product tens of times slower.
"""

import os
import signal

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell that starts the tests in the background has them ignore ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)
