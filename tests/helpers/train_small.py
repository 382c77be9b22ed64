"""`tools/train.py` with an encoder that several processes can train at once on two cores."""

import pathlib
import runpy
import sys

from helpers import small_run
from xsample_tf import models

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
models.backbone = small_run.backbone
sys.path.insert(0, str(TOOLS))
runpy.run_path(str(TOOLS / "train.py"), run_name="__main__")
