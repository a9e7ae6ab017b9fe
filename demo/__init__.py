"""The main job, end to end: serve three models and predict real photographs at their own sizes."""
