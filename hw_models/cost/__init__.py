"""What work costs on a machine: pure functions of columns; `kernel` first, then `costs`."""
