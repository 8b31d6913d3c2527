"""The sources of images: a file is one, and offers ``source(request) -> ImageSource``."""
