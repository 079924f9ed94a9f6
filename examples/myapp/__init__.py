"""An application of several modules, none of them installed anywhere."""
