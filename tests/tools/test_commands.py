"""The tools as commands of an installed package."""

import os
import re
import subprocess
import sys
import zipfile

import commands
import pytest


def test_every_tool_is_a_command(repository):
    text = (repository / "setup.py").read_text(encoding="utf-8")
    names = re.findall(r"xsample_tf_tools\.commands:(\w+)", text)
    run = {getattr(commands, name).args[0] for name in names}
    tools = {
        path.stem
        for path in (repository / "tools").glob("*.py")
        if re.search(r"run\(main, __doc__\)", path.read_text(encoding="utf-8"))
    }
    assert run == tools and len(names) == len(run)


@pytest.mark.parametrize("value", ["configs/cc3m.flags", "cc3m.flags"])
def test_a_flagfile_that_is_not_here_is_the_packages_own(
    value, repository, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    taken = commands._with_own_flagfile(f"--flagfile={value}")
    assert taken == f"--flagfile={repository / 'configs' / 'cc3m.flags'}"
    assert "cc3m.flags is not here" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argument", ["--flagfile=configs/mine.flags", "--flagfile=mine/cc3m.flags", "--seed=1"]
)
def test_what_is_no_flagfile_of_the_package_is_left_as_it_is(argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert commands._with_own_flagfile(argument) == argument


def test_a_flagfile_that_is_here_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cc3m.flags").write_text("--seed=1\n", encoding="utf-8")
    assert commands._with_own_flagfile("--flagfile=cc3m.flags") == "--flagfile=cc3m.flags"


@pytest.mark.slow  # Builds a wheel, for which pip downloads setuptools, and starts TensorFlow.
def test_a_wheel_trains_away_from_the_checkout(repository, tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps"]
    subprocess.run([*pip, f"--wheel-dir={tmp_path}", str(repository)], check=True)
    (wheel,) = tmp_path.glob("xsample_tf-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    flags = ["--flagfile=configs/quickstart.flags", "--source=scenes:count=40,size=32"]
    flags += ["--epochs=1", "--warmup_epochs=0", "--batch_size=16", "--evaluate_every_epochs=0"]
    program = "from xsample_tf_tools.commands import train; train()"
    done = subprocess.run(
        [sys.executable, "-c", program, *flags, "--data_dir=data", "--run_dir=run"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    own = tmp_path / "installed" / "xsample_tf_tools" / "configs" / "quickstart.flags"
    assert f"taking the package's own, {own}" in done.stdout
    assert (tmp_path / "run" / "export" / "saved_model").exists()
