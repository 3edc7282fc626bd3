/* pocl-tests include it for the folders SRCDIR and BUILDDIR, which the compiler's command line
 * defines. */
