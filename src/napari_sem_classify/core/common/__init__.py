"""What every other folder stands on: errors, files, progress, log, downloads."""
