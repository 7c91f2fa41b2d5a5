data_path: str
default_output_dir: str
