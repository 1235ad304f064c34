"""Turn one camera or media file into evidence: source, gate, tracker, crops, and the process that runs them."""
