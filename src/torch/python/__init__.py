"""A model that biform export torch wrote: model.py has it, README.md says how to run and train it."""
