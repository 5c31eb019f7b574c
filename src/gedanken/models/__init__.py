"""World models: dynamics, reward and tasks, one family a file, with their calibration and files."""
