"""Tables, figures and the page on everything that was run under a plan."""
