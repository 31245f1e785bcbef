"""What every notebook uses; nothing here knows of any one notebook."""
