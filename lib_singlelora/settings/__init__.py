"""Every setting, declared once: label, limits, help, and its name at other trainers."""
