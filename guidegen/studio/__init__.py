"""The studio: a web page on this machine to make, watch and keep pictures (`guidegen studio`)."""
