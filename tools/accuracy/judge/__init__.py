"""How far the judge's figures agree with what is known of the embedded world's characters."""
