"""The sources of images; one file is one source, which offers ``source(request) -> Source``."""
