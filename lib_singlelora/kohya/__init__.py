"""Settings of kohya_ss and sd-scripts, read and written."""
