"""What the comparisons run in child processes: clients that share no interpreter with what they measure."""
