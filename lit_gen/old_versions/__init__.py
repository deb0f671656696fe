"""What older versions wrote, brought to the present form: config files and checkpoints."""
