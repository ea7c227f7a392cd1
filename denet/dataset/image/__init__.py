"""From an image file to the input of a network: decoding, crops, colours, distortion."""
