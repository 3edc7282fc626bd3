/* Filling the knowledge base from what happens in the centre. Loop thread only. */
#ifndef LEAT_CORE_LESSON_H
#define LEAT_CORE_LESSON_H

struct core;
struct job;
struct model;

/* A job has succeeded: what its program printed and its card measured become entries of the program
 * and of the model that it used. */
void lesson_of_job(struct core *core, const struct job *job);
/* A model was registered, or is no longer (NULL). */
void lesson_of_registration(struct core *core, const char *name, const struct model *model);

#endif
