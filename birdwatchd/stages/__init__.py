"""Run the stages of the main process: classify, record, learn, upkeep."""
