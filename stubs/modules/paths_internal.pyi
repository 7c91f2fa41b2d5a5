default_output_dir: str
