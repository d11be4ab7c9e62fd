"""One thread per test process: on a busy machine two threads mostly wait for each other.

Nor does any test fail for taking its time.
"""

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
