"""What is measured beside other tools: the work, and the command line of each for it."""
