"""Remember how the station's time went on, and put right what was stamped by a wrong clock."""
