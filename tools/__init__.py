"""The command line tools; installed, `xsample_tf_tools`."""
