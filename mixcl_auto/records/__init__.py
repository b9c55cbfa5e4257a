"""What things are: frozen records that every stage reads or writes as JSON."""
