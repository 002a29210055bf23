"""What is not part of attendc but goes to another machine: the script that runs there, and the emulator's plugin."""
