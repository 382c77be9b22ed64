"""Makes what a version wrote: a data directory, a run killed after step 3 of 9, and a whole one.

`written_by_0_2/` was made at commit 13f9c86, version 0.2.0, from an empty directory and with
PYTHONPATH=REPOSITORY:REPOSITORY/tests/helpers. Locks, TensorBoard's files and the checkpoints of
the whole run were left out. Add a directory a version; do not make an old one again.
"""

import dataclasses

from small_model import small_encoder

from xsample_tf import data, models, text
from xsample_tf.training import Options, train

models.backbone = lambda name, image_size, **unused: small_encoder(image_size)


def die(line):
    print(line)
    if "step 6/9" in line:  # Before the interval is logged and the checkpoint is saved.
        raise ZeroDivisionError


data.prepare(
    "scenes:count=24,size=24",
    "data",
    encoders=[text.load_encoder("lexical")],
    options=data.SourceOptions(validation_fraction=0.34),
)
options = Options(
    data_dir=("data",),
    run_dir="run",
    backbone="resnet18",  # A smaller one stands for it.
    image_size=16,
    projector_hidden=8,
    projector_dim=4,
    batch_size=8,
    steps=9,
    warmup_epochs=1.0,
    optimizer="lars",
    learning_rate=0.1,
    log_every_steps=3,
    checkpoint_every_steps=3,
    keep=1,
    target_temperature="auto:0.5",
    blur=False,
    min_crop=0.5,
)
train(dataclasses.replace(options, run_dir="whole"))
try:
    train(options, log=die)
except ZeroDivisionError:
    print("killed")
