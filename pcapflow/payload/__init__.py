"""What connections said: a few frames cut out by a second pass, dissected by Wireshark, put into a few words."""
