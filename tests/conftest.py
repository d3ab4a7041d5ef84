"""Test set-up: one BLAS thread, before numpy is imported.

The matrices of the tests are small, several processes run at once (ngspice, the command line), and
BLAS threads that wait for one another on a busy machine make every product tens of times slower.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
