"""What the command line and a Python script can ask for."""
