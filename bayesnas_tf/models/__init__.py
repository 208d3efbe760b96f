"""Language models around a recurrent cell."""
