//! Checks of style that the compiler does not make: layers, lengths, headers, unsafe, words.
