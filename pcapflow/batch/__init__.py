"""Many captures: found, analysed by several processes, indexed."""
