"""Images of classes: one directory per class, lists, arrays, CIFAR and SVHN files."""
