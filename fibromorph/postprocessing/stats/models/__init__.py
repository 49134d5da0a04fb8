"""Linear and mixed models, resampling and effect sizes; nothing here knows of brains."""
