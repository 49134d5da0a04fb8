# Recorded with R 4.2: Rscript change.R visits.tsv > change.json
# Random intercept a person, group x session, restricted maximum likelihood.
suppressMessages({ library(lme4); library(jsonlite); library(sandwich)
                   library(metafor) })
visits <- read.delim(commandArgs(TRUE)[1])
visits$patient <- as.numeric(visits$group == "FM")
visits$session <- factor(visits$session)
fit <- lmer(putamen ~ age + patient * session + (1 | participant_id), visits,
            control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12, maxfun = 100000)))
# Errors of the volumes known: made up here, and in the test, by the same rule.
visits$row <- seq_len(nrow(visits))
visits$sd <- 0.04 + 0.02 * (visits$row %% 7)
known <- rma.mv(putamen, sd^2, mods = ~ age + patient * session, data = visits, method = "REML",
                random = list(~ 1 | participant_id, ~ 1 | row), control = list(rel.tol = 1e-11))
wide <- reshape(visits[visits$session != "3", c("participant_id", "group", "session", "age", "putamen", "patient")], direction = "wide", timevar = "session",
                idvar = c("participant_id", "patient", "age", "group"), v.names = "putamen")
wide <- wide[complete.cases(wide), ]
ancova <- lm(putamen.2 ~ putamen.1 + age + patient, wide)
write_json(list(
  beta = as.list(fixef(fit)), se = as.list(sqrt(diag(as.matrix(vcov(fit))))),
  between = attr(VarCorr(fit)$participant_id, "stddev")[[1]], within = sigma(fit),
  known = list(beta = as.list(known$b[, 1]), se = as.list(setNames(known$se, rownames(known$b))),
               between = sqrt(known$sigma2[1]), within = sqrt(known$sigma2[2])),
  ancova = list(difference = coef(ancova)[["patient"]], se = sqrt(vcovHC(ancova, "HC3")["patient", "patient"]))
), stdout(), digits = 15, auto_unbox = TRUE, pretty = TRUE)
