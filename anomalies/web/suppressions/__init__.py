"""What nobody is asked about, and until when."""
