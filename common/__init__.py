"""What the data scripts and the training code share: errors, files, command-line behaviour."""
