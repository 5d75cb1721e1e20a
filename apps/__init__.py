"""Programs that a reader can run at home. Each is a folder of its own; none of them imports `helpers`."""
