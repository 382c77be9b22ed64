"""Packaging of xsample_tf."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "xsample_tf" / "version.py").read_text(encoding="utf-8")
).group(1)

setup(
    name="xsample_tf",
    version=VERSION,
    description="X-Sample Contrastive training (X-CLR) for TensorFlow and Keras 3",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    # A wheel carries the tools and configs, which in a checkout lie at the top.
    packages=[
        *find_packages(include=["xsample_tf", "xsample_tf.*"]),
        "xsample_tf_tools.configs",
        "xsample_tf_tools",
    ],
    package_dir={"xsample_tf_tools.configs": "configs", "xsample_tf_tools": "tools"},
    entry_points={
        "console_scripts": [
            "xsample-convert-text-encoder = xsample_tf_tools.commands:convert_text_encoder",
            "xsample-embed = xsample_tf_tools.commands:embed",
            "xsample-evaluate = xsample_tf_tools.commands:evaluate",
            "xsample-export = xsample_tf_tools.commands:export",
            "xsample-inspect-graph = xsample_tf_tools.commands:inspect_graph",
            "xsample-preflight = xsample_tf_tools.commands:preflight",
            "xsample-prepare = xsample_tf_tools.commands:prepare",
            "xsample-search = xsample_tf_tools.commands:search",
            "xsample-train = xsample_tf_tools.commands:train",
        ]
    },
    package_data={
        "xsample_tf_tools.configs": ["*.flags"],
        "xsample_tf.evaluation.report_page": ["*.html", "*.css", "*.js"],
        "xsample_tf.evaluation.tables": ["*.json", "*.md", "*.tsv", "*.xz"],
        "xsample_tf.graphs": ["taxonomies/*"],
        "xsample_tf.pages": ["*.html", "*.css", "*.js"],
        "xsample_tf.training.graph_page": ["*.html", "*.css", "*.js"],
    },
    python_requires=">=3.11,<3.14",
    install_requires=[
        "tensorflow~=2.21.0",
        "keras>=3.15,<3.16",
        "keras-cv>=0.9,<0.10",
        "keras-hub>=0.32,<0.33",
        "tensorflow-text~=2.21.0",
        "tensorflow-hub>=0.16.1,<0.17",
        "tensorflow-datasets>=4.9.10,<5",
        "tensorboard",  # No longer comes with tensorflow, which writes its summaries through it.
        "absl-py>=2.1",
        "charset-normalizer>=3",
        "huggingface-hub",
        "importlib_resources",  # tensorflow-datasets imports it undeclared on these Pythons.
        "matplotlib",
        "numpy",
        "pillow",
        "pyarrow",
        "safetensors",
        "scipy",
        "setuptools<81",  # tensorflow-hub imports pkg_resources, which later releases dropped.
        "tqdm",
    ],
    extras_require={
        "beam": ["apache-beam>=2.70,<3"],
        "browse": ["scikit-learn>=1.5,<2"],
        "hf": ["datasets>=4,<6"],
        "gpu": ["tensorflow[and-cuda]~=2.21.0"],
        "test": [
            "apache-beam>=2.70,<3",
            "datasets>=4,<6",
            "hypothesis",
            "pytest",
            "pytest-xdist",
            "ruff",
            "scikit-learn>=1.5,<2",
            "webdataset",
        ],
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
