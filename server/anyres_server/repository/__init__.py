"""The models of a folder: found, loaded, warmed up, watched, replaced."""
