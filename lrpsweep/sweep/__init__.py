"""Running a study: sampler and database, workers, validation, recommendation, publishing."""
